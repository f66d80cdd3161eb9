"""The guards of whoever says who is who: the development issuer's login page."""

from tests.mutants.mutant import Mutant

LOGIN = "tests/unit/test_local_login.py"
FLOW, PEOPLE, PAGE = (f"deploy/local/login/{name}.py" for name in ("protocol", "people", "__main__"))

IDENTITY = [
    Mutant(FLOW, "if not REDIRECT.fullmatch(redirect_uri):", "if False:", LOGIN, "not_of_this_machine"),
    Mutant(FLOW, "if not CLIENT.fullmatch(client_id):", "if False:", LOGIN, "not_of_this_machine"),
    Mutant(FLOW, "(:\\d{1,5})?(/[^#\\s]*)?", "[^#\\s]*", LOGIN, "not_of_this_machine"),
    Mutant(FLOW, 'if query.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(self.challenge):', "if False:", LOGIN, "not_done_here"),
    Mutant(FLOW, "self._open.pop(form.get", "self._open.get(form.get", LOGIN, "exchanged_once or spent"),
    Mutant(FLOW, " or until <= time.monotonic():", ":", LOGIN, "a_minute"),
    Mutant(FLOW, '        if (form.get("client_id"), form.get("redirect_uri")) != (asked.client_id, asked.redirect_uri):', "        if False:", LOGIN, "made_for"),
    Mutant(FLOW, 'if challenge_of(form.get("code_verifier", "")) != asked.challenge:', "if False:", LOGIN, "made_for"),
    Mutant(PEOPLE, "if role in STAFF_ROLES]", "]", LOGIN, "not_offered"),
    Mutant(PAGE, "ours = is_ours(self.headers)", "ours = True", LOGIN, "of_elsewhere"),
    Mutant("deploy/local/pages.py", 'ours = OURS.fullmatch(origin.partition("://")[2])', "ours = True", LOGIN, "others_may_not"),
    Mutant("deploy/local/issuer.py", 'if os.environ.get("ATOLL_MODE") == "production":', "if False:", LOGIN, "in_production"),
]  # fmt: skip
