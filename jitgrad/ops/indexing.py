def get_item(x, index): raise NotImplementedError
basic_item = index_put = split_index = get_item
