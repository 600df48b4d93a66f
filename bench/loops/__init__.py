"""Programs with loops: for each library a file that has them the way one writes them for it.

A file is named like the library's in `bench.peers`; all files define the same names.
"""
