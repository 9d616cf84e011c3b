//! Whether certificates can be used, and why a connection with TLS failed.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisError, RedisResult,
    TlsCertificates,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::{AlertDescription, CertificateError, Error as RustlsError};

use super::cause::causes;

/// A certificate or a key in PEM form.
#[derive(Clone)]
pub(crate) enum Pem {
    Text(Vec<u8>),
    /// Read for each connection, since it may be renewed.
    File(PathBuf),
}

impl Pem {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Text(_) => None,
            Self::File(path) => Some(path),
        }
    }

    /// Without a thread of its own for the file: it is small, and nothing else is read.
    fn read(&self, flaw: Flaw) -> Result<Vec<u8>, Unusable> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read(path).map_err(|error| Unusable {
                reason: Some(error.to_string()),
                ..flaw.of(self)
            }),
        }
    }
}

/// What cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Root,
    Client,
    NoTls,
}

/// Why the certificates cannot be used.
#[derive(Debug)]
struct Unusable {
    flaw: Flaw,
    file: Option<PathBuf>,
    reason: Option<String>,
}

impl Flaw {
    fn of(self, pem: &Pem) -> Unusable {
        Unusable {
            file: pem.path().map(Path::to_owned),
            ..self.into()
        }
    }
}

impl From<Flaw> for Unusable {
    fn from(flaw: Flaw) -> Self {
        Self {
            flaw,
            file: None,
            reason: None,
        }
    }
}

/// Refuses certificates for an address that does not ask for TLS.
pub(super) fn check_address(info: &ConnectionInfo, given: bool) -> RedisResult<()> {
    if given && !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Err(Unusable::from(Flaw::NoTls).into());
    }
    Ok(())
}

/// These settings, with the certificates.
pub(super) fn secure(
    info: ConnectionInfo,
    certificates: Option<TlsCertificates>,
) -> RedisResult<ConnectionInfo> {
    let Some(certificates) = certificates else {
        return Ok(info);
    };
    let client = Client::build_with_tls(info, certificates)?;
    Ok(client.get_connection_info().clone())
}

/// In redis-rs' form; `None` when none were given.
pub(super) fn usable(
    root: Option<&Pem>,
    client: Option<&(Pem, Pem)>,
) -> RedisResult<Option<TlsCertificates>> {
    if root.is_none() && client.is_none() {
        return Ok(None);
    }
    let mut usable = TlsCertificates {
        client_tls: None,
        root_cert: None,
    };
    if let Some(root) = root {
        usable.root_cert = Some(checked(root, Flaw::Root)?);
    }
    if let Some((chain, key)) = client {
        let client_cert = checked(chain, Flaw::Client)?;
        let client_key = key.read(Flaw::Client)?;
        if PrivateKeyDer::from_pem_slice(&client_key).is_err() {
            return Err(Flaw::Client.of(key).into());
        }
        usable.client_tls = Some(ClientTlsConfig {
            client_cert,
            client_key,
        });
    }
    Ok(Some(usable))
}

/// Whether they are the same, to the letter.
#[cfg(feature = "cluster")]
pub(super) fn are_the_same(one: Option<&TlsCertificates>, other: Option<&TlsCertificates>) -> bool {
    let texts = |certificates: Option<&TlsCertificates>| {
        let TlsCertificates {
            client_tls,
            root_cert,
        } = certificates?.clone();
        let client = client_tls.map(|client| (client.client_cert, client.client_key));
        Some((root_cert, client))
    };
    texts(one) == texts(other)
}

/// redis-rs reads a text without a certificate as an empty list, by which nobody is trusted.
fn checked(pem: &Pem, flaw: Flaw) -> Result<Vec<u8>, Unusable> {
    let text = pem.read(flaw)?;
    let mut certificates = CertificateDer::pem_slice_iter(&text);
    match certificates.next() {
        Some(Ok(_)) if certificates.all(|certificate| certificate.is_ok()) => Ok(text),
        _ => Err(flaw.of(pem)),
    }
}

/// Has rustls use ring, unless the program chose something else before. Otherwise rustls panics
/// where several of its providers are compiled in, through other dependencies.
pub(super) fn choose_crypto(info: &ConnectionInfo) {
    let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    if is_tls && CryptoProvider::get_default().is_none() {
        // Lost to another thread, which chose as well.
        drop(ring::default_provider().install_default());
    }
}

/// What happened and what to do, for errors that are about TLS.
pub(super) fn describe(error: &RedisError) -> Option<(String, &'static str)> {
    causes(error).find_map(|cause| {
        if let Some(unusable) = cause.downcast_ref::<Unusable>() {
            return Some((unusable.to_string(), unusable.flaw.advice()));
        }
        cause.downcast_ref().map(describe_rustls)
    })
}

fn describe_rustls(error: &RustlsError) -> (String, &'static str) {
    use AlertDescription as Alert;
    let (happened, advice) = match error {
        RustlsError::InvalidCertificate(CertificateError::UnknownIssuer) => (
            "no trusted authority has signed the server's certificate",
            "give the builder the `root_certificate` of the authority that signed it",
        ),
        RustlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (
            "the server's certificate is for another name or address",
            "connect by a name that the certificate has, or issue it for this one",
        ),
        RustlsError::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => (
            "the server's certificate has expired",
            "renew it, or set the clock of this machine",
        ),
        RustlsError::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::HandshakeFailure,
        ) => (
            "the server refused the client's certificate, or asks for one",
            "give the builder a `client_certificate` by an authority that the server trusts",
        ),
        RustlsError::InconsistentKeys(_) => (
            "the client's certificate and its key do not belong together",
            "give the builder a `client_certificate` with its own key",
        ),
        RustlsError::InvalidMessage(_) => (
            "the server does not speak TLS at this address",
            "check the port, or write redis:// instead of rediss://",
        ),
        _ => (
            "TLS could not be agreed on",
            "check the certificates of both sides; the cause tells more",
        ),
    };
    (format!("{happened} ({error})"), advice)
}

impl Flaw {
    fn advice(self) -> &'static str {
        match self {
            Self::Root => "give `root_certificate` the certificate of an authority, as PEM",
            Self::Client => "give `client_certificate` the certificate and its key, as PEM",
            Self::NoTls => "write rediss:// instead of redis://, or give no certificates",
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.flaw {
            Flaw::Root => "the root certificate cannot be read",
            Flaw::Client => "the client's certificate or its key cannot be read",
            Flaw::NoTls => "certificates were given, but the URL does not ask for TLS",
        })?;
        if let Some(file) = &self.file {
            write!(f, " from {}", file.display())?;
        }
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl Error for Unusable {}

impl From<Unusable> for RedisError {
    fn from(unusable: Unusable) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, unusable).into()
    }
}
