//! TLS: the certificates of a locker, and why a connection with TLS failed.

use redis::{ConnectionInfo, IntoConnectionInfo as _, RedisResult};

#[cfg(feature = "tls")]
pub(crate) use with_rustls::{choose_crypto, describe};

/// The certificates of a locker, in PEM form.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// Who may have signed the servers' certificates; without it, whom the system trusts.
    #[cfg(feature = "tls")]
    pub(crate) root: Option<Vec<u8>>,
    /// The client's certificate and its key.
    #[cfg(feature = "tls")]
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// What a URL says, with the certificates where it asks for TLS.
    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unused_self, reason = "the same with and without the feature")
    )]
    pub(crate) fn parse(&self, url: &str) -> RedisResult<ConnectionInfo> {
        let info = url.into_connection_info()?;
        #[cfg(feature = "tls")]
        let info = self.secure(info)?;
        Ok(info)
    }
}

/// Names no key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut tls = f.debug_struct("Tls");
        #[cfg(feature = "tls")]
        tls.field("root", &self.root.is_some())
            .field("client", &self.client.is_some());
        tls.finish()
    }
}

#[cfg(feature = "tls")]
mod with_rustls {
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

    use super::Tls;

    /// Why the certificates cannot be used.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Unusable {
        Root,
        Client,
        NoTls,
    }

    impl Tls {
        pub(super) fn secure(&self, info: ConnectionInfo) -> RedisResult<ConnectionInfo> {
            choose_crypto(&info);
            let Some(certificates) = self.certificates()? else {
                return Ok(info);
            };
            if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
                return Err(Unusable::NoTls.into());
            }
            let client = Client::build_with_tls(info, certificates)?;
            Ok(client.get_connection_info().clone())
        }

        /// In redis-rs' form; `None` when none were given.
        pub(crate) fn certificates(&self) -> RedisResult<Option<TlsCertificates>> {
            if self.root.is_none() && self.client.is_none() {
                return Ok(None);
            }
            if let Some(root) = &self.root {
                check(root, Unusable::Root)?;
            }
            if let Some((chain, key)) = &self.client {
                check(chain, Unusable::Client)?;
                PrivateKeyDer::from_pem_slice(key).map_err(|_| Unusable::Client)?;
            }
            let client = self.client.clone();
            Ok(Some(TlsCertificates {
                client_tls: client.map(|(client_cert, client_key)| ClientTlsConfig {
                    client_cert,
                    client_key,
                }),
                root_cert: self.root.clone(),
            }))
        }
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
    pub(crate) fn choose_crypto(info: &ConnectionInfo) {
        let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if is_tls && CryptoProvider::get_default().is_none() {
            // Lost to another thread, which chose as well.
            drop(ring::default_provider().install_default());
        }
    }

    /// What happened and what to do, for errors that are about TLS.
    pub(crate) fn describe(error: &RedisError) -> Option<(String, &'static str)> {
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
}
