"""The guards of who is who: tokens and their issuers, and the development issuer's login page."""

from tests.mutants.mutant import Mutant

LOGIN, ISSUERS = "tests/unit/test_local_login.py", "tests/unit/test_chassis_issuers.py"
ACCESS = "tests/integration/test_chassis_access.py"
SERVICE_ACCOUNTS = "tests/integration/test_scheduling_service_accounts.py"
ACCOUNTS = "services/scheduling/use_cases/service_accounts.py"
AUTH, KEYS, TRUST = (f"chassis/{name}.py" for name in ("auth", "keys", "issuers"))
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
    # Tokens.
    Mutant(AUTH, " or len(text) > TOKEN_MAX:", ":", ACCESS, "without_end"),
    Mutant(AUTH, "if len(found) != len(pairs):", "if False:", ACCESS, "bad_one"),
    Mutant(AUTH, "        if IDENTITY_CLAIMS & claims.keys() or any(claims.get(name, good) != good for name, good in USES.items()):", "        if False:", ISSUERS, "calls_all_its_tokens"),
    Mutant(AUTH, 'removeprefix("application/")', 'removeprefix("")', ACCESS, "in_full"),
    Mutant(AUTH, "leeway=LEEWAY_S,", "leeway=0,", ACCESS, "some_seconds_off"),
    Mutant(AUTH, "leeway=LEEWAY_S,", "leeway=90,", ACCESS, "bad_one"),
    Mutant(AUTH, "self._types = {_media_type(each) for each in issuer.types}", 'self._types = {"at+jwt", "jwt"}', ACCESS, "bad_one"),
    # Their keys.
    Mutant(KEYS, 'if found["issuer"] != issuer:', "if False:", ISSUERS, "other_issuer"),
    Mutant(KEYS, 'if not uri.startswith("https://"):', "if False:", ISSUERS, "open_line"),
    Mutant(KEYS, "            if any(key.key_type == SYMMETRIC for key in found):", "            if False:", ISSUERS, "shared_key"),
    Mutant(KEYS, "if len(content) > DOCUMENT_MAX:", "if False:", ISSUERS, "without_end"),
    Mutant(KEYS, "timeout=FETCH_S, transport", "timeout=FETCH_S, follow_redirects=True, transport", ISSUERS, "sent_on"),
    Mutant(KEYS, "    except httpx.HTTPStatusError:", "    except ZeroDivisionError:", ISSUERS, "without_openid"),
    Mutant(KEYS, "if (waits or self._late) and self._reading:", "if waits and self._reading:", ISSUERS, "asked_for_long"),
    Mutant(KEYS, "age >= KEYS_FRESH_S + KEYS_LATE_S", "True", ISSUERS, "just_grew_old"),
    # What they say.
    Mutant(TRUST, 'self.chain_id or _at(claims, self.claims.chain)', '_at(claims, self.claims.chain)', ISSUERS, "of_one_chain"),
    Mutant(TRUST, "if self.chain_id and SERVICE in grants:", "if False:", ISSUERS, "of_one_chain"),
    Mutant(TRUST, "if group := self.groups.get(name):", "if group := self.groups.get(name, [*self.groups.values()][-1]):", ISSUERS, "nested"),
    Mutant(TRUST, "None if sites is None or before is None else sites | before", "sites", ISSUERS, "nested"),
    Mutant(TRUST, "        if name not in GRANTED:", "        if False:", ISSUERS, "cannot_be_meant"),
    Mutant(TRUST, "if self.jwks is None and not self.issuer", "if False and not self.issuer", ISSUERS, "cannot_be_meant"),
    Mutant("chassis/settings.py", 'if self.mode == "production" and (each.is_of_this_machine', 'if False and (each.is_of_this_machine', ISSUERS, "developers"),
    Mutant("chassis/settings.py", "if len(set(names)) < len(names):", "if False:", ISSUERS, "told_of_its_issuers"),
    # Service accounts.
    Mutant(ACCOUNTS, "if not account.within(store.call.sites):", "if False:", SERVICE_ACCOUNTS, "confined_to_sites"),
    Mutant(ACCOUNTS, "if len(account.keys) >= KEYS_MAX:", "if False:", SERVICE_ACCOUNTS, "three_keys"),
    Mutant(ACCOUNTS, "if await store.count_service_accounts() >= ACCOUNTS_MAX:", "if False:", SERVICE_ACCOUNTS, "bounded"),
    Mutant(ACCOUNTS, "if not await store.all_sites_are_known(new.site_ids):", "if False:", SERVICE_ACCOUNTS, "none_of_the_chains"),
    Mutant(ACCOUNTS, "if not hmac.compare_digest(digest, _digest(secret)) or account is None:", "if account is None:", SERVICE_ACCOUNTS, "wrong_secret"),
    Mutant("services/scheduling/store/service_accounts.py", "_key.c.revoked_at.is_(None), _key.c.expire_at > _real_now", "_key.c.expire_at > _real_now", SERVICE_ACCOUNTS, "rotate"),
    Mutant("services/scheduling/store/service_accounts.py", "_key.c.revoked_at.is_(None), _key.c.expire_at > _real_now", "_key.c.revoked_at.is_(None)", SERVICE_ACCOUNTS, "expired"),
    Mutant("services/scheduling/store/service_accounts.py", ", ~service_account.c.disabled)", ")", SERVICE_ACCOUNTS, "disabled_account"),
    Mutant("services/scheduling/accounts/endpoint.py", "if len(guesses) >= GUESSES_MAX:", "if False:", SERVICE_ACCOUNTS, "guesses_at"),
    Mutant("services/scheduling/accounts/endpoint.py", "                await store.note_read()\n", "", SERVICE_ACCOUNTS, "on_record"),
    Mutant("services/scheduling/rpc/service_accounts.py", "client_secret=sealed", "client_secret=secret", SERVICE_ACCOUNTS, "kept_nowhere"),
]  # fmt: skip
