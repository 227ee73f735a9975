#!/usr/bin/env python3
"""Vestibule for a platform's back end: the platform API as a small module, and the receiver of its webhooks.

Python 3.9 or later, standard library only. To try it:

    VESTIBULE=https://chat.example.org VESTIBULE_KEY=vestibule_… python3 vestibule.py
"""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from urllib.parse import quote, urlencode


class Problem(Exception):
    """What the server says is wrong (RFC 9457)."""

    def __init__(self, problem):
        super().__init__(f"{problem['status']}: {problem['detail']}")
        self.status, self.code, self.detail = problem["status"], problem["code"], problem["detail"]


class Vestibule:
    """The platform API. `keep(user_id, recovery_key)` stores a recovery key durably: it is handed out once."""

    def __init__(self, address, key, keep):
        self._base, self._key, self._keep = address.rstrip("/") + "/_vestibule/v1", key, keep

    def put_organization(self, organization, name):
        return self._call("PUT", ["organizations", organization], {"name": name})

    def put_account(self, organization, account, name, **settings):
        """Settings: chat_enabled, upload_per_day, text_retention (milliseconds)."""
        return self._call("PUT", ["organizations", organization, "accounts", account], {"name": name, **settings})

    def new_identity(self, server_name, role="participant", program="vestibule"):
        """An identity for a new invitee, or for a new host (role `host`), made on this machine: the server never has its key.

        Runs `vestibule identity`, and keeps the recovery key before anything else.
        """
        command = [program, "identity", "--server-name", server_name, "--" + role]
        made = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        self._keep(made["user_id"], made["recovery_key"])
        return made["identity"]

    def put_host(self, host, organization, account, display_name, identity=None):
        """With an `identity` of new_identity(), for a host who is new; without one, the server makes it."""
        body = {"organization": organization, "account": account, "display_name": display_name}
        if identity is not None:
            body["identity"] = identity
        return self._call("PUT", ["hosts", host], body)

    def put_session(self, session, host, invitees, ends_at_ms, identities=None):
        """Invitees: their names by the platform's ids. Identities of new_identity() by the same ids: for others, the server makes them.

        Answers their user ids by the platform's ids.
        """
        people = [{"id": id_, "display_name": name} for id_, name in invitees.items()]
        for person in people:
            if person["id"] in (identities or {}):
                person["identity"] = identities[person["id"]]
        answer = self._call("PUT", ["sessions", session], {"host": host, "invitees": people, "ends_at": ends_at_ms})
        return {invitee["id"]: invitee["user_id"] for invitee in answer["invitees"]}

    def end_session(self, session):
        return self._call("POST", ["sessions", session, "end"])

    def login_token(self, user_id):
        """For one login of one page within a minute. Hand it out only to whom the platform knows to be that user."""
        return self._call("POST", ["login_tokens"], {"user_id": user_id})["login_token"]

    def pages(self, *path, **query):
        """All items of a list, page after page: pages("hosts", organization="acme")."""
        while True:
            page = self._call("GET", path, query=query)
            yield from page["items"]
            if "next" not in page:
                return
            query = {**query, "after": page["next"]}

    def _call(self, method, path, body=None, query=None):
        url = self._base + "".join("/" + quote(part, safe="") for part in path)
        if query:
            url += "?" + urlencode(query)
        headers = {"Authorization": "Bearer " + self._key, "Content-Type": "application/json"}
        if method != "GET":
            # The same for every attempt at this call: a lost answer can be had again.
            headers["Idempotency-Key"] = str(uuid.uuid4())
        data = None if body is None else json.dumps(body).encode()
        answer = self._attempt(urllib.request.Request(url, data, headers, method=method))
        for made in [answer, *answer.get("invitees", [])]:
            if "recovery_key" in made:
                self._keep(made["user_id"], made["recovery_key"])
        return answer

    @staticmethod
    def _attempt(request, attempts=4):
        for attempt in range(attempts):
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                if error.code not in (429, 502, 503, 504) or attempt == attempts - 1:
                    raise Problem(json.load(error)) from None
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                if attempt == attempts - 1:
                    raise
            time.sleep(2**attempt / 4)


def verify_webhook(secret, headers, body, now=None):
    """The event in a webhook's `body` (bytes), if it is from Vestibule and fresh; raises ValueError otherwise.

    `secret` is the text in the file `webhooks.secret`. An event may come more than once: remember `webhook-id`.
    """
    id_, at, signatures = (headers[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature"))
    if abs((time.time() if now is None else now) - int(at)) > 300:
        raise ValueError("the webhook's timestamp is not of now")
    key = base64.b64decode(secret[len("whsec_"):])
    mac = hmac.new(key, f"{id_}.{at}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(mac).decode()
    if not any(hmac.compare_digest(expected, given) for given in signatures.split(" ")):
        raise ValueError("the webhook's signature does not hold")
    return json.loads(body)


class RecoveryKeys(dict):
    """Stands for the platform's own database: a file that only its owner can read, written before anything else is done."""

    def __init__(self, path):
        self._path = path
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.update(json.load(file))

    def keep(self, user_id, recovery_key):
        self[user_id] = recovery_key
        with os.fdopen(os.open(self._path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self, file)
        os.replace(self._path + ".new", self._path)


def main():
    missing = [name for name in ("VESTIBULE", "VESTIBULE_KEY") if not os.environ.get(name)]
    if missing:
        sys.exit(f"{' and '.join(missing)} must be set: the address of the server, and what `vestibule keys create` printed")
    try:
        provision()
    except Problem as problem:
        sys.exit(f"the server refuses: {problem}")
    except (OSError, ValueError) as error:
        sys.exit(f"no answer from {os.environ['VESTIBULE']}: {error}")


def provision():
    recovery_keys = RecoveryKeys(os.environ.get("RECOVERY_KEYS", "recovery-keys.json"))
    address = os.environ["VESTIBULE"].rstrip("/")
    vestibule = Vestibule(address, os.environ["VESTIBULE_KEY"], recovery_keys.keep)
    vestibule.put_organization("acme", "Acme Health")
    vestibule.put_account("acme", "north", "North Clinic")
    host = vestibule.put_host("ada", "acme", "north", "Ada Byron")
    invitees = vestibule.put_session("visit-2", "ada", {"pat": "Pat Doe"}, int((time.time() + 7200) * 1000))

    def credentials(user_id):
        """What the platform's page needs, and what its back end answers to it."""
        token = vestibule.login_token(user_id)
        return {"homeserver": address, "user_id": user_id, "login_token": token, "recovery_key": recovery_keys.get(user_id)}

    hosts = [found["host"] for found in vestibule.pages("hosts", organization="acme", limit=1)]
    print(json.dumps({"host": credentials(host["user_id"]), "invitee": credentials(invitees["pat"]), "hosts": hosts}, indent=2))


if __name__ == "__main__":
    main()
