"""Requests that schemathesis must not send."""

import schemathesis


@schemathesis.hook
def filter_case(context, case):
    # The name of a part is in its header, which cannot contain control characters. A schema can
    # only say so by refusing unknown fields, which the API ignores.
    if case.media_type != "multipart/form-data" or not isinstance(case.body, dict):
        return True
    return all(name.isprintable() for name in case.body)
