//! Certificates for servers with TLS and their clients.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use crate::directory::{Directory, random};
use crate::server::binary;

/// An authority of the test's own, and what it signs.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, both as PEM.
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// What a server or a client has on its disk.
pub struct Files {
    directory: Directory,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        name(&mut params, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate, as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// A certificate for servers with these names or addresses, and for clients.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn sign(&self, names: &[&str]) -> Certificate {
        let names: Vec<_> = names.iter().copied().map(String::from).collect();
        let mut params = CertificateParams::new(names).expect("names");
        name(&mut params, "server or client");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Certificate {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Files as servers and clients have them: a certificate for these names, and this authority.
    #[must_use]
    pub fn files(&self, names: &[&str]) -> Files {
        let files = Files {
            directory: Directory::new(),
        };
        self.renew(&files, names);
        files
    }

    /// Overwrites such files, maybe another authority's.
    ///
    /// # Panics
    /// If they can't be written.
    pub fn renew(&self, files: &Files, names: &[&str]) {
        let Certificate { certificate, key } = self.sign(names);
        for (name, text) in [
            ("ca", &self.certificate),
            ("cert", &certificate),
            ("key", &key),
        ] {
            fs::write(files.path(name), text).expect("write a certificate");
        }
    }
}

/// A name of its own: who has the same name as another is taken for it.
fn name(params: &mut CertificateParams, role: &str) {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("{role} {:016x}", random()));
    params.distinguished_name = name;
}

impl Files {
    /// Where it is: `ca`, `cert` or `key`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Whether the servers that tests start can do TLS; not all are built so.
///
/// # Panics
/// If there is no such server.
#[must_use]
pub fn servers_have_tls() -> bool {
    // Ends at once in any case, for lack of a certificate or of TLS.
    let output = Command::new(binary())
        .args(["--port", "0", "--tls-port", "1"])
        .stdin(Stdio::null())
        .output()
        .expect("run the server");
    !String::from_utf8_lossy(&output.stdout).contains("Failed finding TLS support")
}
