//! With access control and TLS, as `docs/src/cluster.md` says to set them up.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::{TempDir, tempdir};
use vrft_weights::{Client, PolicyAnnouncement, Server, WeightsError};

use crate::fixture::{RUN, endpoint, free_port, published};

/// The examples of zenoh settings in the document, in order.
fn documented() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/cluster.md");
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```json5\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

fn write(dir: &Path, name: &str, settings: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, settings).unwrap();
    path
}

/// What one attempt to pull comes to.
fn pull(
    version: &PolicyAnnouncement,
    endpoint: &str,
    settings: &Path,
) -> Result<PolicyAnnouncement, WeightsError> {
    let client = Client::connect_with(RUN, endpoint, settings)?.with_attempts(1);
    client.pull(version, tempdir().unwrap().path())
}

#[test]
fn who_may_read_is_a_matter_of_settings() {
    let (dir, store, version) = published();
    let [document, ..] = &documented()[..] else { panic!("the document has an example") };
    assert!(document.contains("\"wg0\""));
    let nothing = Path::new("");

    // Loopback is not the interface that the document lets in.
    let endpoint = endpoint();
    let as_it_is = write(dir.path(), "as-it-is.json5", document);
    let server = Server::start_with(&store, RUN, &endpoint, &as_it_is).unwrap();
    let refused = pull(&version, &endpoint, nothing).unwrap_err();
    assert!(matches!(refused, WeightsError::NoAnswer { .. }), "{refused}");
    drop(server);

    let loopback = write(dir.path(), "loopback.json5", &document.replace("wg0", "lo"));
    let _server = Server::start_with(&store, RUN, &endpoint, &loopback).unwrap();
    pull(&version, &endpoint, nothing).unwrap();
    let other = Client::connect("another", &endpoint).unwrap().with_attempts(1);
    assert!(other.pull(&version, tempdir().unwrap().path()).is_err());
}

/// An authority of one's own, and the files that the document names, signed by it.
struct Certificates {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let dir = tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        Self { dir, authority }
    }

    /// A machine's certificate and key.
    fn issue(&self, name: &str) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        fs::write(self.dir.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// Settings of the document with the paths of these files.
    fn settings(&self, document: &str) -> PathBuf {
        let here = format!("{}/", self.dir.path().display());
        let name = format!("{}.json5", document.len());
        write(self.dir.path(), &name, &document.replace("/etc/vrft/", &here))
    }
}

#[test]
fn weights_cross_encrypted_to_the_machine_whose_certificate_is_named() {
    let (_dir, store, version) = published();
    let documents = documented();
    let [_, learner, rollout] = &documents[..] else { panic!("{documents:?}") };
    let certificates = Certificates::new();
    ["learner", "rollout", "stranger"].iter().for_each(|name| certificates.issue(name));
    let port = free_port();
    let endpoint = format!("tls/localhost:{port}");
    let _server =
        Server::start_with(&store, RUN, &endpoint, &certificates.settings(learner)).unwrap();

    let pulled = pull(&version, &endpoint, &certificates.settings(rollout)).unwrap();
    assert_eq!(pulled.checksum, version.checksum);

    // Signed by the same authority, but another machine.
    let stranger = certificates.settings(&rollout.replace("rollout", "stranger"));
    let refused = pull(&version, &endpoint, &stranger).unwrap_err();
    assert!(matches!(refused, WeightsError::NoAnswer { .. }), "{refused}");

    // Signed by another authority, and not encrypted at all: neither gets through the door.
    let others = Certificates::new();
    others.issue("rollout");
    let forged = pull(&version, &endpoint, &others.settings(rollout));
    assert!(matches!(forged, Err(WeightsError::Link { .. })), "{forged:?}");
    let plain = pull(&version, &format!("tcp/localhost:{port}"), Path::new(""));
    assert!(matches!(plain, Err(WeightsError::Link { .. })), "{plain:?}");
}
