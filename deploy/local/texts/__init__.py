"""A provider of texts and calls of this machine: the part of Twilio's API that notifications uses, and what it tells.

Nothing goes to a telephone: whoever opens its page reads what was said to a number, and answers as the person there.
It runs in the process of the mail sink, and not in production mode.
"""
