"""What billing is told of the local processor: one account, for every site of the sample."""

import json

from deploy.local.cards.keys import CardKeys
from deploy.local.files import write_whole
from deploy.local.home import Home

ACCOUNT = "local"
"""Its name, which stands in the address of its webhooks."""


def take_cards(home: Home, processor_url: str) -> None:
    """From now on, at every site that the home remembers: billing looks at the file again when it has changed."""
    keys = CardKeys.of(home.cards)
    remembered = json.loads(home.sites_file.read_text()) if home.sites_file.exists() else {"sites": {}}
    account = {
        "chain_id": remembered.get("chain_id"),
        "secret_key": keys.secret,
        "webhook_secrets": [keys.webhook],
        "site_ids": list(remembered["sites"].values()),
        "api_url": processor_url,
    }
    write_whole(home.card_accounts, json.dumps({ACCOUNT: account} if account["site_ids"] else {}))
