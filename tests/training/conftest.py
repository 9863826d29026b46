import pytest
import toy as toy_module


@pytest.fixture(scope="session")
def toy():
    """The module toy.py beside this file; imported by name, so that worker processes can unpickle what is in it."""
    return toy_module
