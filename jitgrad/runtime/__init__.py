"""From generated source text to programs that run.

Begin with `build.py`: the text of a kernel becomes a real file, a module and a compiled function.
`disk_cache.py` keeps what was compiled, so that the next process loads it instead.
"""
