"""Throwaway certificates, made by the openssl command once for all tests that need some."""

import pathlib
import shutil
import ssl
import subprocess

from .process import give_away

CONF = """
[req]
distinguished_name = dn
prompt = no
[dn]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = keyCertSign, cRLSign
[ca]
default_ca = here
[here]
database = {folder}/{ca}.index
default_md = sha256
default_crl_days = 10
"""


def openssl(*argv):
    subprocess.run(["openssl", *map(str, argv)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Certs:
    """
    ca and other_ca sign; server is 127.0.0.1's and localhost's, elsewhere another host's; app, other and
    stranger (CN app, of the other authority) are clients'; revoked (CN app) is on ca's list, ca.crl.
    certs.cert("app"), certs.key("app"), certs.ca.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for ca in ("ca", "other_ca"):
            self._authority(ca)
        own = "DNS:localhost,IP:127.0.0.1"
        self._sign("server", "ca", "localhost", own)
        self._sign("renewed", "ca", "localhost", own)
        self._sign("forged", "other_ca", "localhost", own)
        self._sign("elsewhere", "ca", "elsewhere", "DNS:elsewhere.example,IP:192.0.2.1")
        self._sign("expired", "ca", "localhost", own, days=-1)
        self._sign("rsa", "ca", "localhost", own, key=("rsa", "rsa_keygen_bits:2048"))
        for name in ("app", "other", "revoked"):
            self._sign(name, "ca", "app" if name == "revoked" else name)
        self._sign("stranger", "other_ca", "app")
        self.revoke("ca", "revoked")
        for path in self.folder.iterdir():
            give_away(path)

    def cert(self, name):
        return self.folder / f"{name}.pem"

    def key(self, name):
        return self.folder / f"{name}.key"

    @property
    def ca(self):
        return self.cert("ca")

    @property
    def crl(self):
        return self.folder / "ca.crl"

    def install(self, name, to):
        """Copies a pair over to.pem and to.key: what a renewal does."""
        shutil.copyfile(self.cert(name), self.cert(to))
        shutil.copyfile(self.key(name), self.key(to))
        for path in (self.cert(to), self.key(to)):
            path.chmod(0o600)
            give_away(path)

    def client(self, name=None, verify=True, alpn=None, **versions):
        """A client's context; name: its own certificate; versions: minimum_version, maximum_version."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if name is not None:
            context.load_cert_chain(self.cert(name), self.key(name))
        if alpn is not None:
            context.set_alpn_protocols(alpn)
        for attribute, value in versions.items():
            setattr(context, attribute, value)
        return context

    def server(self, name="server", client_ca=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert(name), self.key(name))
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    # ---- making them

    def _conf(self, ca):
        path = self.folder / f"{ca}.cnf"
        path.write_text(CONF.format(folder=self.folder, ca=ca))
        return path

    def _new_key(self, name, key=("EC", "ec_paramgen_curve:P-256")):
        openssl("genpkey", "-algorithm", key[0], "-pkeyopt", key[1], "-out", self.key(name))
        self.key(name).chmod(0o600)

    def _authority(self, name):
        self._new_key(name)
        openssl("req", "-x509", "-new", "-key", self.key(name), "-subj", f"/CN={name}", "-days", 30,
                "-config", self._conf(name), "-extensions", "authority", "-out", self.cert(name))

    def _sign(self, name, ca, cn, alt=None, days=20, **key):
        self._new_key(name, **key)
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        openssl("req", "-new", "-key", self.key(name), "-subj", f"/CN={cn}", "-config", self._conf(ca),
                "-out", request)
        extensions.write_text(f"subjectAltName={alt}\n" if alt else "basicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", request, "-CA", self.cert(ca), "-CAkey", self.key(ca), "-CAcreateserial",
                "-days", days, "-extfile", extensions, "-out", self.cert(name))

    def self_signed(self, name, *argv):
        """A certificate of localhost's, made as the words for `openssl req` say."""
        openssl("req", "-x509", "-nodes", *argv, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                "-keyout", self.key(name), "-out", self.cert(name))
        for path in (self.key(name), self.cert(name)):
            path.chmod(0o600)
            give_away(path)

    def revoke(self, ca, name):
        """Puts it on the authority's list, crl."""
        (self.folder / f"{ca}.index").touch()
        for argv in (("-revoke", self.cert(name)), ("-gencrl", "-out", self.crl)):
            openssl("ca", "-config", self._conf(ca), "-cert", self.cert(ca), "-keyfile", self.key(ca), *argv)
