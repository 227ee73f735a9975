//! S3Proxy with its buckets in a folder, and a gate before it that a test can shut.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use config::{Config, S3};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Name;
use object_store::{ObjectStoreExt as _, PutPayload};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::files_below;

/// The folder with S3Proxy's jars.
const VARIABLE: &str = "VESTIBULE_S3PROXY";

const ACCESS_KEY_ID: &str = "of-the-test";
const SECRET_ACCESS_KEY: &str = "a secret access key of the test";

/// What every name in a bucket begins with.
const PREFIX: &str = "vestibule/files";

/// S3Proxy as a process. It ends with the last test that uses it.
struct Service {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

static RUNNING: Mutex<Weak<Service>> = Mutex::new(Weak::new());

impl Service {
    fn running() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let service = Arc::new(Self::start());
            *running = Arc::downgrade(&service);
            service
        })
    }

    fn start() -> Self {
        let jars = std::env::var_os(VARIABLE).expect("VESTIBULE_S3PROXY names the folder with S3Proxy: run `./test s3`");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("buckets")).expect("makes");
        let properties = folder.path().join("s3proxy.properties");
        let text = format!(
            "s3proxy.endpoint=http://127.0.0.1:0\n\
             s3proxy.authorization=aws-v4\n\
             s3proxy.identity={ACCESS_KEY_ID}\n\
             s3proxy.credential={SECRET_ACCESS_KEY}\n\
             jclouds.provider=filesystem-nio2\n\
             jclouds.identity=unused\n\
             jclouds.credential=unused\n\
             jclouds.filesystem.basedir={}\n",
            folder.path().join("buckets").display()
        );
        std::fs::write(&properties, text).expect("writes");
        let mut child = Command::new("java")
            .arg(format!("-Dlogback.configurationFile={}/tests/s3/logback.xml", env!("CARGO_MANIFEST_DIR")))
            .args(["-Xmx512m", "-cp", &format!("{}/*", Path::new(&jars).display()), "org.gaul.s3proxy.Main"])
            .arg("--properties")
            .arg(&properties)
            .stdout(Stdio::piped())
            .spawn()
            .expect("Java starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        // …Started ServerConnector@…{HTTP/1.1, (http/1.1)}{127.0.0.1:45281}
        let address = lines.find_map(|line| {
            let (_, rest) = line.split_once("Started ServerConnector")?;
            rest.rsplit_once('{')?.1.strip_suffix('}')?.parse().ok()
        });
        let Some(address) = address else { panic!("S3Proxy does not start: {:?}", child.wait()) };
        // It must not stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, folder }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().expect("ends it");
        self.child.wait().expect("ends");
    }
}

/// A bucket of its own, and the way there.
pub struct Bucket {
    service: Arc<Service>,
    name: String,
    address: SocketAddr,
    shut: watch::Sender<bool>,
    keys: TempDir,
}

/// Buckets of all tests of the process.
static BUCKETS: AtomicU64 = AtomicU64::new(0);

impl Bucket {
    pub async fn new() -> Self {
        let service = tokio::task::spawn_blocking(Service::running).await.expect("starts");
        let name = format!("bucket{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
        std::fs::create_dir(service.folder.path().join("buckets").join(&name)).expect("makes");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let (shut, is_shut) = watch::channel(false);
        tokio::spawn(pass_on(listener, service.address, is_shut));
        let keys = tempfile::tempdir().expect("a folder");
        let bucket = Self { service, name, address, shut, keys };
        bucket.remember_secret();
        bucket
    }

    /// What a server says of it.
    pub fn uri(&self) -> String {
        format!("s3://{}/{PREFIX}", self.name)
    }

    /// Has a server keep its files there.
    pub fn configure(&self, config: &mut Config) {
        config.media.s3 = Some(S3 {
            bucket: self.name.clone(),
            endpoint: Some(format!("http://{}", self.address)),
            region: "anywhere".to_owned(),
            prefix: format!("{PREFIX}/"),
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key_file: self.keys.path().join("secret"),
        });
    }

    /// The service is away: connections break, and no new one answers.
    pub fn shut(&self) {
        self.shut.send_replace(true);
    }

    /// The service is back.
    pub fn open(&self) {
        self.shut.send_replace(false);
    }

    /// Gives the server another secret than the service knows.
    pub fn forget_secret(&self) {
        std::fs::write(self.keys.path().join("secret"), "another").expect("writes");
    }

    /// Gives it the right one.
    pub fn remember_secret(&self) {
        std::fs::write(self.keys.path().join("secret"), SECRET_ACCESS_KEY).expect("writes");
    }

    /// Somebody else puts an object beside the server's own.
    pub async fn put(&self, name: &str, text: &'static str) {
        self.others().put(&Name::from(format!("{PREFIX}/{name}")), PutPayload::from(text)).await.expect("puts");
    }

    /// Somebody else deletes one.
    pub async fn delete(&self, name: &str) {
        self.others().delete(&Name::from(format!("{PREFIX}/{name}"))).await.expect("deletes");
    }

    fn others(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.service.address))
            .with_allow_http(true)
            .with_disable_bulk_delete(true)
            .with_bucket_name(&self.name)
            .with_region("anywhere")
            .with_access_key_id(ACCESS_KEY_ID)
            .with_secret_access_key(SECRET_ACCESS_KEY)
            .build()
            .expect("a client")
    }

    /// All that is in the bucket, as S3Proxy keeps it: objects, and parts of uploads that are under way.
    pub fn files(&self) -> Vec<PathBuf> {
        files_below(&self.service.folder.path().join("buckets").join(&self.name))
    }
}

/// Passes connections on to S3Proxy while the gate is open.
async fn pass_on(listener: TcpListener, to: SocketAddr, shut: watch::Receiver<bool>) {
    while let Ok((mut from, _)) = listener.accept().await {
        let mut shut = shut.clone();
        tokio::spawn(async move {
            if *shut.borrow_and_update() {
                return;
            }
            let Ok(mut to) = TcpStream::connect(to).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut from, &mut to) => {}
                _ = shut.changed() => {}
            }
        });
    }
}
