"""A mail server (aiosmtpd) whose recipients are of every kind. Prints its port, then each mail it has taken as a line of JSON.

The part before the @ says what happens: nobody (550), full (452), busy (421, and it hangs up), spam (554 after the mail),
vanish (takes the whole mail and hangs up without an answer), vanish-once (the first time), slow-N (answers N ms late).
"""

import argparse
import asyncio
import base64
import json
import re
import ssl

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--cert")
parser.add_argument("--key")
parser.add_argument("--tls", choices=["none", "starttls", "wrapped"], default="none")
parser.add_argument("--login", help="USER:PASSWORD that is asked for")
args = parser.parse_args()

vanished = set()
connections = 0


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        local = address.split("@")[0]
        if local == "nobody":
            return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown"
        if local == "full":
            return "452 4.2.2 Mailbox full"
        if local == "busy":
            server.transport.write(b"421 4.3.2 Service not available\r\n")
            server.transport.close()
            return "421 4.3.2 Service not available"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        local = envelope.rcpt_tos[0].split("@")[0]
        if local == "spam":
            return "554 5.7.1 Message looks like spam"
        late = re.fullmatch(r"slow-(\d+)", local)
        if late:
            await asyncio.sleep(int(late[1]) / 1000)
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": base64.b64encode(envelope.content).decode(),
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "user": session.auth_data.decode() if session.auth_data else None,
            "connection": session.number,
            "hello": session.host_name,
        }
        print(json.dumps(told), flush=True)
        if local == "vanish" or (local == "vanish-once" and local not in vanished):
            vanished.add(local)
            server.transport.abort()
        return "250 2.0.0 Ok: queued as 4XyZ12abc"

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        global connections
        if not hasattr(session, "number"):
            connections += 1
            session.number = connections
        session.host_name = hostname
        return responses


def authenticate(server, session, envelope, mechanism, data):
    user, password = args.login.split(":")
    good = isinstance(data, LoginPassword) and data == LoginPassword(user.encode(), password.encode())
    return AuthResult(success=good, handled=False, auth_data=data.login if good else None)


async def main():
    context = None
    if args.tls != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert, args.key)
    options = {"hostname": "mail.example"}
    if args.tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if args.login:
        options |= {
            "authenticator": authenticate,
            "auth_required": True,
            "auth_require_tls": args.tls == "starttls",
        }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Handler(), loop=loop, **options),
        "127.0.0.1",
        args.port,
        ssl=context if args.tls == "wrapped" else None,
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(main())
