//! TLS: certificate, key and the authority of clients, read from files and read again when these change.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{error, fmt};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

/// How often the files are looked at.
const GLANCE: Duration = Duration::from_secs(2);

/// Where the parts are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Our certificate and what chains it to a root, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM; nobody else may read it.
    pub key: PathBuf,
    /// The authorities of clients, PEM, if clients are asked for certificates.
    pub client_ca: Option<PathBuf>,
}

/// One of the [`Paths`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `certificate_file`
    Certificate,
    /// `key_file`
    Key,
    /// `client_ca_file`
    ClientCa,
}

/// Why a part cannot be used. No text shows what a file holds.
#[derive(Debug)]
pub struct Unfit {
    /// Which part.
    pub part: Part,
    /// Where it was sought.
    pub path: PathBuf,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a part.
#[derive(Debug)]
pub enum Flaw {
    /// It cannot be read.
    File(io::Error),
    /// Others may read it: its mode.
    Open(u32),
    /// It holds nothing of the kind in PEM.
    Empty,
    /// What it holds cannot be used.
    Content(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(formatter, "which cannot be read: {error}"),
            Self::Open(mode) => write!(formatter, "with mode `{mode:o}`"),
            Self::Empty => write!(formatter, "which holds nothing of the kind"),
            Self::Content(why) => write!(formatter, "which cannot be used: {why}"),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`, {}", self.path.display(), self.flaw)
    }
}

impl error::Error for Unfit {}

/// What handshakes go by now.
#[derive(Clone, Debug)]
pub struct Tls {
    paths: Paths,
    seen: Vec<Mark>,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    pub fn open(paths: Paths) -> Result<Self, Unfit> {
        // The marks are taken first: what changes while it is read is read once more.
        let seen = marks(&paths);
        let current = watch::Sender::new(Arc::new(load(&paths)?));
        Ok(Self { paths, seen, current })
    }

    /// What the next handshake goes by.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.borrow().clone()
    }

    /// Reads the files again whenever they change; what cannot be used leaves in place what was there.
    pub fn follow(&self) -> JoinHandle<()> {
        let Self { paths, mut seen, current } = self.clone();
        tokio::spawn(async move {
            let mut looks = interval(GLANCE);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                let (files, before) = (paths.clone(), seen.clone());
                // It ends in nothing only with the process.
                let Ok(news) = spawn_blocking(move || news(&files, &before)).await else { return };
                let Some((marks, config)) = news else { continue };
                seen = marks;
                match config {
                    Ok(config) => {
                        current.send_replace(Arc::new(config));
                        tracing::info!("new certificate for TLS");
                    }
                    Err(unfit) => tracing::warn!("the certificate for TLS stays as it was: found {unfit}"),
                }
            }
        })
    }
}

/// What the files say, if they are not as they were.
fn news(paths: &Paths, before: &[Mark]) -> Option<(Vec<Mark>, Result<ServerConfig, Unfit>)> {
    let marks = marks(paths);
    (marks != before).then(|| (marks, load(paths)))
}

/// What tells one state of a file from the next: nothing where it cannot be had.
type Mark = Option<(i64, i64, u64, u64)>;

fn marks(paths: &Paths) -> Vec<Mark> {
    let all = [Some(&paths.certificate), Some(&paths.key), paths.client_ca.as_ref()];
    let mark = |path: &PathBuf| {
        let found = fs::metadata(path).ok()?;
        Some((found.mtime(), found.mtime_nsec(), found.ino(), found.size()))
    };
    all.into_iter().flatten().map(mark).collect()
}

/// TLS 1.2 and 1.3; HTTP/2 or HTTP/1.1 by ALPN.
fn load(paths: &Paths) -> Result<ServerConfig, Unfit> {
    let unfit = |part, path: &Path, flaw| Unfit { part, path: path.to_owned(), flaw };
    let chain = certificates(&paths.certificate).map_err(|flaw| unfit(Part::Certificate, &paths.certificate, flaw))?;
    let key = key(&paths.key).map_err(|flaw| unfit(Part::Key, &paths.key, flaw))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| unfit(Part::Certificate, &paths.certificate, content(error)))?;
    let builder = match &paths.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let wrong = |flaw| unfit(Part::ClientCa, path, flaw);
            let mut roots = RootCertStore::empty();
            for root in certificates(path).map_err(wrong)? {
                roots.add(root).map_err(|error| wrong(content(error)))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(|error: VerifierBuilderError| wrong(content(error)))?)
        }
    };
    // Also when the key is not that of the certificate.
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| unfit(Part::Certificate, &paths.certificate, content(error)))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A session taken up again would bring the client's certificate along without another look at its dates.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let pem = fs::read(path).map_err(Flaw::File)?;
    let read: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&pem).collect();
    read.map_err(content).and_then(|all| if all.is_empty() { Err(Flaw::Empty) } else { Ok(all) })
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Flaw> {
    let mode = fs::metadata(path).map_err(Flaw::File)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Flaw::Open(mode));
    }
    let pem = zeroize::Zeroizing::new(fs::read(path).map_err(Flaw::File)?);
    // What the reader says about its place in the file is left out.
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| Flaw::Empty)
}

fn content(error: impl fmt::Display) -> Flaw {
    Flaw::Content(error.to_string())
}
