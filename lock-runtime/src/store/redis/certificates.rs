//! Whether certificates can be used, and why a connection with TLS failed.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisError, RedisResult,
    TlsCertificates,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::{AlertDescription, CertificateError, Error as RustlsError};

/// Why the certificates cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unusable {
    Root,
    Client,
    NoTls,
}

/// A URL's settings, with the certificates where they ask for TLS.
pub(super) fn secure(
    info: ConnectionInfo,
    certificates: Option<TlsCertificates>,
) -> RedisResult<ConnectionInfo> {
    choose_crypto(&info);
    let Some(certificates) = certificates else {
        return Ok(info);
    };
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Err(Unusable::NoTls.into());
    }
    let client = Client::build_with_tls(info, certificates)?;
    Ok(client.get_connection_info().clone())
}

/// In redis-rs' form; `None` when none were given.
pub(super) fn usable(
    root: Option<&[u8]>,
    client: Option<&(Vec<u8>, Vec<u8>)>,
) -> RedisResult<Option<TlsCertificates>> {
    if root.is_none() && client.is_none() {
        return Ok(None);
    }
    if let Some(root) = root {
        check(root, Unusable::Root)?;
    }
    if let Some((chain, key)) = client {
        check(chain, Unusable::Client)?;
        PrivateKeyDer::from_pem_slice(key).map_err(|_| Unusable::Client)?;
    }
    let client_tls = client
        .cloned()
        .map(|(client_cert, client_key)| ClientTlsConfig {
            client_cert,
            client_key,
        });
    Ok(Some(TlsCertificates {
        client_tls,
        root_cert: root.map(<[u8]>::to_vec),
    }))
}

/// redis-rs reads a text without a certificate as an empty list, by which nobody is trusted.
fn check(pem: &[u8], otherwise: Unusable) -> Result<(), Unusable> {
    let mut certificates = CertificateDer::pem_slice_iter(pem);
    match certificates.next() {
        Some(Ok(_)) if certificates.all(|certificate| certificate.is_ok()) => Ok(()),
        _ => Err(otherwise),
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
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(unusable) = error.downcast_ref::<Unusable>() {
            return Some((unusable.to_string(), unusable.advice()));
        }
        if let Some(error) = error.downcast_ref::<RustlsError>() {
            return Some(describe_rustls(error));
        }
        cause = inner(error);
    }
    None
}

/// What an error wraps. An `Arc` and an `io::Error` have the cause of what they wrap as theirs.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        return Some(&**shared);
    }
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as _),
        None => error.source(),
    }
}

fn describe_rustls(error: &RustlsError) -> (String, &'static str) {
    use AlertDescription as Alert;
    let (happened, advice) = match error {
        RustlsError::InvalidCertificate(CertificateError::UnknownIssuer) => (
            "nobody who is trusted here has signed the server's certificate",
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

impl Unusable {
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
        f.write_str(match self {
            Self::Root => "the root certificate cannot be read",
            Self::Client => "the client's certificate or its key cannot be read",
            Self::NoTls => "certificates were given, but the URL does not ask for TLS",
        })
    }
}

impl Error for Unusable {}

impl From<Unusable> for RedisError {
    fn from(unusable: Unusable) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, unusable).into()
    }
}
