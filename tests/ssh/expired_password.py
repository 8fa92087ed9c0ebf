"""An SSH server on 127.0.0.1 for which every password has expired: it asks for a new one (SSH_MSG_USERAUTH_PASSWD_CHANGEREQ).

Prints its port and the fingerprint of its host key, and serves until its standard input ends.
"""

import asyncio
import sys

import asyncssh


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        raise asyncssh.PasswordChangeRequired("Your password has expired.")


async def serve():
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen("127.0.0.1", 0, server_factory=Server, server_host_keys=[key])
    print(server.get_port(), key.get_fingerprint(), flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(serve())
