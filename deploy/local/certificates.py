"""A certificate authority for a developer's machine and for tests: what a company's own, or a mesh, does in production.

Whoever can read its folder can be any service, so it signs nothing in production mode.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.local.process import LocalError

AUTHORITY_LASTS, CERTIFICATE_LASTS = timedelta(days=3650), timedelta(days=90)
BACKDATED = timedelta(minutes=5)
"""Clocks differ."""
LOCALHOST = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two files in PEM."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    folder: Path

    @classmethod
    def open(cls, folder: Path) -> "Authority":
        """Made on first use, so that who trusts it once need not do so again."""
        if os.environ.get("ATOLL_MODE") == "production":
            raise LocalError("the development authority does not sign in production mode (ATOLL_MODE)")
        folder.mkdir(parents=True, exist_ok=True)
        files = Certificate(folder / "ca.pem", folder / "ca-key.pem")
        if not files.cert_file.exists():
            _make(files)
        key = serialization.load_pem_private_key(files.key_file.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(key, x509.load_pem_x509_certificate(files.cert_file.read_bytes()), folder)

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, names: Sequence[str] = (), lasts: timedelta = CERTIFICATE_LASTS) -> Certificate:
        """For both ends of a connection. `names` are host names, addresses and URIs; `name` alone, if there are none.

        What was issued under this name before is replaced: the key first, in one step each, as rotation does it.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _described(name, self.certificate.subject, key.public_key(), lasts)
            .add_extension(x509.SubjectAlternativeName([_general(each) for each in names or (name,)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        files = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}-key.pem")
        _write(files, key, certificate)
        return files


def _make(files: Certificate) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Atoll development authority")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # Certificates and their lists.
    certificate = (
        _described("Atoll development authority", name, key.public_key(), AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(files, key, certificate)


def _described(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lasts: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lasts)
    )


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(files: Certificate, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    for path, mode, content in (
        (files.key_file, 0o600, private),
        (files.cert_file, 0o644, certificate.public_bytes(serialization.Encoding.PEM)),
    ):
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        draft.touch(mode)
        draft.write_bytes(content)
        draft.replace(path)
