compile("def app(environ start_response): pass\n", __file__, "exec")
