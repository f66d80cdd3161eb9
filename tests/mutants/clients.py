"""The guards of the clients."""

from tests.mutants.mutant import Mutant

TESTS = "tests/unit/test_python_client.py"
CALLS, ERRORS, PAGES, RETRIES, TOKENS, VALUES, WAY_IN = (
    f"clients/python/src/atoll_client/{name}.py"
    for name in ("calls", "errors", "pages", "retries", "tokens", "values", "atoll")
)

CLIENTS = [
    Mutant(CALLS, 'if pause_s is None or time.monotonic() + pause_s >= until:', 'if pause_s is None:', TESTS),
    Mutant(CALLS, 'timeout=until - time.monotonic()', 'timeout=self._timeout_s', TESTS),
    Mutant(CALLS, 'getattr(request, REQUEST_ID) or str(uuid4())', 'str(uuid4())', TESTS),
    Mutant(CALLS, 'or (was_open and isinstance(error, ServerFault))', '', TESTS),
    Mutant(CALLS, 'isinstance(error, Unauthenticated) and not renewed', 'isinstance(error, Unauthenticated)', TESTS),
    Mutant(CALLS, 'if not resumes or not (broke_off or expired):', 'if not (broke_off or expired):', TESTS),
    Mutant(CALLS, 'vain = failures >= retry.attempts', 'vain = failures > 500', TESTS),
    Mutant(CALLS, 'vain = not watches and time.monotonic() - broke', 'vain = time.monotonic() - broke', TESTS),
    Mutant(CALLS, 'time.monotonic() - broke > retry.reopen_s', 'failures > 500', TESTS),
    Mutant(CALLS, 'broke or time.monotonic()', 'heard or time.monotonic()', TESTS),
    Mutant(CALLS, 'heard, broke, renewed = time.monotonic(), None, False', 'heard, renewed = time.monotonic(), False', TESTS),
    Mutant(CALLS, '                raise TryAgain(grpc.StatusCode.UNAVAILABLE, method.path, "ended, though it goes on")\n', '                await asyncio.sleep(0.01)\n                continue\n', TESTS),
    Mutant(CALLS, 'silence_s = retry.silence_s if watches else None', 'silence_s = None', TESTS),
    Mutant(CALLS, 'bool(getattr(response, COMPLETE, False))', 'False', TESTS),
    Mutant(CALLS, 'if token := getattr(response, RESUME_TOKEN):', 'if (token := getattr(response, RESUME_TOKEN)) is not None:', TESTS),
    Mutant(CALLS, '            self._tokens.drop(token)', '            pass', TESTS),
    Mutant(ERRORS, 'if kind is Conflict and any(isinstance(each, RetryInfo) for each in details):', 'if False:', TESTS),
    Mutant(PAGES, 'if page.next_page_token == page_token:', 'if False:', TESTS),
    Mutant(RETRIES, 'if wanted and attempt < self.attempts', 'if wanted and attempt < 99', TESTS),
    Mutant(RETRIES, 'isinstance(error, TryAgain) or', 'True or', TESTS),
    Mutant(RETRIES, 'max(told, _chance.uniform(longest / 2, longest))', '_chance.uniform(longest / 2, longest)', TESTS),
    Mutant(TOKENS, 'if time.time() >= self._renew_at:', 'if True:', TESTS),
    Mutant(TOKENS, 'if parts.scheme != "https" and not (', 'if False and not (', TESTS),
    Mutant(TOKENS, 'if error.code in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):', 'if False:', TESTS),
    Mutant(VALUES, 'if instant.tzinfo is None:', 'if False:', TESTS),
    Mutant(VALUES, 'if minor != minor.to_integral_value():', 'if False:', TESTS),
    Mutant(VALUES, 'if isinstance(amount, float):', 'if False:', TESTS),
    Mutant(WAY_IN, 'if not secure and parts.hostname not in HERE and not plaintext:', 'if False:', TESTS),
]  # fmt: skip
