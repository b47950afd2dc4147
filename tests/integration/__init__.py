import pytest

# pytest explains failed asserts in test modules by itself; this one holds tests under a name of another kind.
pytest.register_assert_rewrite("tests.integration.workflow.hook_contract")
