"""Database addresses by name: from the environment or from Key Vault, never from a suite or a dropped file."""

import pytest

from assay.errors import UserError
from assay.runtime import Runtime
from assay.settings import Settings

ADDRESS = "postgresql+psycopg://reader:hidden-word@host/shop"


def runtime(**variables: str) -> Runtime:
    return Runtime(Settings.load(variables))


async def test_a_name_stands_for_its_address() -> None:
    """Logs and records leave the address out from then on, because it holds a password."""
    made = runtime(ASSAY_CONNECTIONS=f'{{"shop": "{ADDRESS}"}}')
    assert await made.address_of("shop") == ADDRESS
    assert "hidden-word" not in made.redactor.redact(f"cannot open {ADDRESS}")


async def test_an_unknown_name_is_told_with_the_closest() -> None:
    """Names are no secrets."""
    made = runtime(ASSAY_CONNECTIONS=f'{{"shop": "{ADDRESS}"}}')
    with pytest.raises(UserError) as caught:
        await made.address_of("shops")
    assert str(caught.value) == ("there is no connection 'shops' (did you mean 'shop'?). ASSAY_CONNECTIONS has: shop")


async def test_a_secret_needs_the_vault() -> None:
    """The error names the setting that is missing."""
    made = runtime(ASSAY_CONNECTIONS='{"shop": "keyvault:shop-address"}')
    with pytest.raises(UserError, match="KEY_VAULT_URI is not set; expected the vault that keeps the secret"):
        await made.address_of("shop")


def test_connections_that_are_no_mapping_are_not_shown() -> None:
    """Somebody may have set the address itself."""
    with pytest.raises(UserError) as caught:
        runtime(ASSAY_CONNECTIONS=ADDRESS)
    assert "ASSAY_CONNECTIONS is something else, not shown here; expected JSON such as" in str(caught.value)
    assert "hidden-word" not in str(caught.value)
