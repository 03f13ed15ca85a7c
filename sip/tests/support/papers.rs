//! Certificates of every kind, made on the spot by `openssl`: none of them can lapse with the years.

use std::path::Path as FilePath;
use std::process::Command;
use std::sync::OnceLock;

use sip::Event;
use sip::net::{Identity, Roots, Stack, StackConfig, TlsConfig, bind};
use tokio::sync::mpsc::Receiver;

/// One authority and what it has signed.
pub struct Papers {
    dir: tempfile::TempDir,
}

/// Made once for all tests of this file. `None`: there is no `openssl`.
pub fn papers() -> Option<&'static Papers> {
    static PAPERS: OnceLock<Option<Papers>> = OnceLock::new();
    let papers = PAPERS.get_or_init(|| {
        let papers = Papers { dir: tempfile::tempdir().expect("a folder") };
        papers.authority("ca")?;
        papers.authority("other-ca")?;
        papers.leaf("good", "ca", "DNS:localhost", &["-days", "7"]);
        papers.leaf("address", "ca", "IP:127.0.0.1", &["-days", "7"]);
        papers.leaf("wrong-name", "ca", "DNS:example.com", &["-days", "7"]);
        papers.leaf("unknown-ca", "other-ca", "DNS:localhost", &["-days", "7"]);
        papers.leaf("expired", "ca", "DNS:localhost", &["-days", "-1"]);
        Some(papers)
    });
    if papers.is_none() {
        eprintln!("skipped: no openssl");
    }
    papers.as_ref()
}

impl Papers {
    pub fn dir(&self) -> &FilePath {
        self.dir.path()
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir().join(name)).expect("a file")
    }

    fn openssl(&self, args: &[&str]) -> Option<()> {
        let output = Command::new("openssl").current_dir(self.dir()).args(args).output().ok()?;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(())
    }

    fn request(&self, name: &str, args: &[&str]) -> Option<()> {
        let key = format!("{name}.key");
        let subject = format!("/CN={name}");
        let mut all = vec!["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        all.extend(["-keyout", &key, "-subj", &subject]);
        all.extend(args);
        self.openssl(&all)
    }

    fn authority(&self, name: &str) -> Option<()> {
        self.request(name, &["-x509", "-days", "30", "-out", &format!("{name}.pem")])
    }

    fn leaf(&self, name: &str, ca: &str, san: &str, validity: &[&str]) {
        let (csr, pem, ext) = (format!("{name}.csr"), format!("{name}.pem"), format!("{name}.ext"));
        self.request(name, &["-new", "-out", &csr]).expect("openssl");
        let text = format!("basicConstraints=CA:FALSE\nsubjectAltName={san}\n");
        std::fs::write(self.dir().join(&ext), text).expect("a file");
        let (ca_pem, ca_key) = (format!("{ca}.pem"), format!("{ca}.key"));
        let mut all = vec!["x509", "-req", "-in", &csr, "-CA", &ca_pem, "-CAkey", &ca_key];
        all.extend(["-CAcreateserial", "-extfile", &ext, "-out", &pem]);
        all.extend(validity);
        self.openssl(&all).expect("openssl");
    }

    pub fn identity(&self, name: &str) -> Identity {
        Identity { chain: self.read(&format!("{name}.pem")), key: self.read(&format!("{name}.key")) }
    }

    pub fn roots(&self) -> Roots {
        Roots::Pem(self.read("ca.pem"))
    }

    /// Listens with this certificate, and trusts our authority.
    pub async fn stack(&self, name: &str) -> (Stack, Receiver<Event>) {
        let tls = TlsConfig {
            listen: vec!["127.0.0.1:0".parse().expect("an address")],
            identity: Some(self.identity(name)),
            roots: self.roots(),
            ..Default::default()
        };
        bind(StackConfig { tls: Some(tls), ..Default::default() }).await.expect("a free port")
    }
}
