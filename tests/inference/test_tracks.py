from lib.inference.tracks import failure_of


def test_a_value_error_explains_itself_and_others_need_their_traceback():
    for error, reason, explained in (
        (ValueError("a.jpg: truncated;\n unpack it again"), "a.jpg: truncated; unpack it again", True),
        (RuntimeError("shapes differ"), "RuntimeError: shapes differ", False),
        (KeyError(), "KeyError: no message", False),
    ):
        try:
            raise error
        except Exception as caught:
            failure = failure_of(caught)
        assert (failure.reason, failure.explained) == (reason, explained)
        assert failure.traceback.startswith("Traceback") and type(error).__name__ in failure.traceback
