"""What notifications is told of the local provider: one account, with a number for each site of the sample."""

import json

from deploy.local.files import write_whole
from deploy.local.home import Home
from deploy.local.texts.keys import ACCOUNT, TextKeys

NUMBERS = "+1505557{:04d}"
FIRST = 100
PER_SECOND = 1000.0
"""Nobody waits for a line that there is not: the demo's clock would run past what it has to say."""


def take_texts(home: Home, provider_url: str, webhook_url: str) -> None:
    """From now on, at every site that the home remembers: notifications looks at the file again when it has changed."""
    keys = TextKeys.of(home.texts)
    remembered = json.loads(home.sites_file.read_text()) if home.sites_file.exists() else {"sites": {}}
    sites = {id: {"sender": NUMBERS.format(FIRST + n)} for n, id in enumerate(remembered["sites"].values())}
    account = {
        "chain_id": remembered.get("chain_id"),
        "account_sid": keys.account_sid,
        "auth_tokens": [keys.auth_token],
        "sites": sites,
        "webhook_url": webhook_url,
        "api_url": provider_url,
        "per_second": PER_SECOND,
        "account_per_second": PER_SECOND,
    }
    write_whole(home.text_accounts, json.dumps({ACCOUNT: account} if sites else {}))
