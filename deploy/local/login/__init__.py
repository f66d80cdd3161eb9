"""The development issuer's login page: whoever opens it is whoever they say, so that a front end can be built.

It speaks OpenID Connect's authorization code flow with PKCE as a public client sees it. Of this machine only, and never
in production mode.
"""
