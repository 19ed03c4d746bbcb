"""A web page and a typed HTTP API in front of a model server.

`settings` are the command's options, `app` has the endpoints, `uploads` reads what was sent, `replies` says
how answers look as JSON, `layers` draws what the page lays over an X-ray, `guard` refuses requests that are
too large, too slow or not allowed, and `page/` is what a browser shows. It needs the extra `web`.
"""
