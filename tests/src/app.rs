//! A running `millrace up`.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::caller::Caller;
use crate::disk::Disk;
use crate::tools::{crashable, forget_settings, libchdb, millrace, terminate};

/// A key of the configuration that may read the figures of the whole installation.
pub const OPERATOR: &str = "operator-of-the-tests-4f1c9a70d2b84e63";
const STARTS_WITHIN: Duration = Duration::from_secs(120);
const SETTLES_WITHIN: Duration = Duration::from_secs(120);
const ENDS_WITHIN: Duration = Duration::from_secs(90);
const CRASHES_WITHIN: Duration = Duration::from_secs(60);
const SIGABRT: i32 = 6;

/// `millrace up` on a temporary folder and a free loopback port; killed when it is dropped.
#[derive(Debug)]
pub struct TestApp {
    /// Before the folder it is in.
    disk: Option<Disk>,
    folder: TempDir,
    program: PathBuf,
    listen: String,
    settings: Vec<String>,
    /// The environment of the next start.
    variables: Vec<(&'static str, String)>,
    child: Option<Child>,
    nobody: Caller,
}

/// An organization, its owner and the owner's session.
#[derive(Debug)]
pub struct Account {
    /// `org_…`.
    pub organization: String,
    /// The owner's address.
    pub email: String,
    /// The owner's password.
    pub password: String,
    /// Calls with the owner's session.
    pub owner: Caller,
}

impl Account {
    /// Makes a key of these scopes and calls with it.
    pub async fn key(&self, scopes: &[&str]) -> Caller {
        let made = self
            .owner
            .post("/api-keys", &json!({"name": "a key", "scopes": scopes}))
            .await;
        let made = made.expect(201);
        self.owner
            .with_token(made["key"].as_str().expect("the key is shown"))
    }
}

impl TestApp {
    /// Starts it on its defaults.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts it with settings, each as `key=value`.
    pub async fn start_with(settings: &[&str]) -> Self {
        let mut app = Self::prepare(settings);
        app.restart().await;
        app
    }

    /// One that is not started yet.
    pub fn prepare(settings: &[&str]) -> Self {
        Self::new(millrace(), settings)
    }

    /// Starts the variant that can be crashed at named points, on a disk that can lose power if it is asked for.
    pub async fn start_crashable(settings: &[&str], power: bool) -> Self {
        let mut app = Self::new(crashable(), settings);
        if power {
            let image = app.folder.path().join("disk.img");
            app.disk = Some(Disk::new(image, app.data()));
        }
        app.restart().await;
        app
    }

    fn new(program: PathBuf, settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("millrace-test-")
            .tempdir()
            .unwrap();
        // Nobody else takes a port between here and the start: the system hands out others first.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let nobody = Caller::to(&format!("127.0.0.1:{port}"));
        Self {
            disk: None,
            folder,
            program,
            listen: format!("127.0.0.1:{port}"),
            settings: settings.iter().map(ToString::to_string).collect(),
            variables: Vec::new(),
            child: None,
            nobody,
        }
    }

    /// Runs another command with its folder and settings, to the end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Another value for one of its settings, from the next start on.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// The program with its folder and settings.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        forget_settings(&mut command);
        let elsewhere = self.elsewhere();
        fs::create_dir_all(&elsewhere).unwrap();
        command
            .current_dir(&elsewhere)
            .env("HOME", &elsewhere)
            .env("TMPDIR", &elsewhere);
        command.args(arguments).arg("--data").arg(self.data());
        command.args([
            "--set",
            &format!("embedded.library={}", libchdb().display()),
        ]);
        command.args(["--set", &format!("operator.key={OPERATOR}")]);
        // A machine that stands still for a while is no reason to answer 503; tests of that have settings of their own.
        command.args(["--set", "stream.append_seconds=60"]);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command
    }

    /// Its `--data`.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its working, home and temporary directory: nothing of its own belongs there.
    pub fn elsewhere(&self) -> PathBuf {
        self.data().with_file_name("elsewhere")
    }

    /// Its Delta table of events.
    pub fn archive(&self) -> PathBuf {
        self.data().join("archive/events")
    }

    fn messages(&self) -> PathBuf {
        self.folder.path().join("messages.log")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// A caller without key or session.
    pub fn nobody(&self) -> Caller {
        self.nobody.clone()
    }

    /// The operator of the installation.
    pub fn operator(&self) -> Caller {
        self.nobody.with_token(OPERATOR)
    }

    /// Registers an organization of this name, on the defaults (USD, UTC).
    pub async fn register(&self, name: &str) -> Account {
        self.register_with(name, json!({})).await
    }

    /// Registers an organization with more members of the request, for example its currency.
    pub async fn register_with(&self, name: &str, more: Value) -> Account {
        let (email, password) = (
            format!("{name}@example.com"),
            format!("correct horse {name}"),
        );
        let mut body =
            json!({"name": name, "email": email, "password": password, "organization": name});
        let members = body.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        let made = self.nobody.post("/auth/register", &body).await.expect(201);
        Account {
            organization: made["organization"]["id"]
                .as_str()
                .expect("an id")
                .to_owned(),
            email,
            password,
            owner: self
                .nobody
                .with_token(made["token"].as_str().expect("a session")),
        }
    }

    /// What log, state and archive hold.
    pub async fn reconciliation(&self) -> Value {
        self.operator()
            .get("/admin/reconciliation")
            .await
            .expect(200)
    }

    /// Waits until all of the log is applied and archived, and says what there is.
    pub async fn wait_settled(&self) -> Value {
        let settled = self.settled_within(SETTLES_WITHIN).await;
        settled.unwrap_or_else(|found| panic!("{found}"))
    }

    /// The same, or in what it falls short after so long.
    pub async fn settled_within(&self, time: Duration) -> Result<Value, String> {
        let started = Instant::now();
        loop {
            let operator = self.operator();
            let asked = operator.request(Method::GET, "/admin/reconciliation");
            let found = match operator.try_send(asked).await {
                Ok(answer) if answer.status == 200 => answer.json,
                Ok(answer) if answer.status == 503 && started.elapsed() < time => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Ok(answer) => return Err(format!("it answers {}: {}", answer.status, answer.json)),
                Err(error) => return Err(format!("it does not answer: {error}")),
            };
            let settled = found["partitions"].as_array().is_some_and(|partitions| {
                partitions
                    .iter()
                    .all(|of| of["end"] == of["applied"] && of["end"] == of["archived"])
            });
            if settled {
                return match found["balanced"] == true {
                    true => Ok(found),
                    false => Err(format!("it does not add up: {found:#}")),
                };
            }
            if started.elapsed() > time {
                return Err(format!("not all is applied and archived: {found:#}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends it at once, as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to end (SIGTERM), and requires that it says all was done.
    pub async fn terminate(&mut self) {
        terminate(self.pid());
        let status = self.ended().await;
        assert!(
            status.success(),
            "after SIGTERM: {status}\n{}",
            self.last_messages()
        );
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        self.ended_within(ENDS_WITHIN).await
    }

    async fn ended_within(&mut self, time: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if started.elapsed() > time {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it has not ended in time\n{}", self.last_messages());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets every later start die at the Nth passage of a crash point; only for a crashable one.
    pub fn crash_at(&mut self, point: &str, passage: u64) {
        self.variables
            .retain(|(name, _)| *name != "MILLRACE_CRASH_AT");
        self.variables
            .push(("MILLRACE_CRASH_AT", format!("{point}:{passage}")));
    }

    /// Lets later starts run on.
    pub fn crash_no_more(&mut self) {
        self.variables
            .retain(|(name, _)| *name != "MILLRACE_CRASH_AT");
    }

    /// Leaves a step of the recipe out from the next start on; only for a crashable one.
    pub fn leave_out(&mut self, step: &str) {
        self.variables.push(("MILLRACE_LEAVE_OUT", step.to_owned()));
    }

    /// Waits until it has died at the point it was asked to.
    pub async fn crashed(&mut self, point: &str) {
        let status = self.ended_within(CRASHES_WITHIN).await;
        assert_eq!(
            status.signal(),
            Some(SIGABRT),
            "it ended otherwise than at {point}: {status}"
        );
        let said = self.last_messages();
        assert!(said.contains(&format!("crash point {point}")), "{said}");
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        let running = self.child.as_mut();
        let ended = running.is_none_or(|child| child.try_wait().unwrap().is_some());
        if ended {
            self.child = None;
        }
        ended
    }

    /// Cuts the power of its disk: what was not synced is gone. It must have ended.
    pub fn lose_power(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        self.disk.as_ref().expect("a disk of its own").lose_power();
    }

    /// Starts it on the same folder and port, and waits until it is ready.
    pub async fn restart(&mut self) {
        self.spawn();
        if let Err(status) = self.wait_ready().await {
            panic!("it ended while starting: {status}");
        }
    }

    /// Starts it on the same folder and port.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let messages: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.messages())
            .unwrap();
        let mut command = self.command(&["up", "--listen", &self.listen]);
        command
            .stdin(Stdio::null())
            .stdout(messages.try_clone().unwrap())
            .stderr(messages);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until it is ready, or else has ended.
    pub async fn wait_ready(&mut self) -> Result<(), ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().unwrap())
            {
                self.child = None;
                return Err(status);
            }
            let asked = self
                .nobody
                .try_send(self.nobody.at(Method::GET, "/ready"))
                .await;
            if asked.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            assert!(
                started.elapsed() < STARTS_WITHIN,
                "it is not ready in time\n{}",
                self.last_messages()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything it has said.
    pub fn all_messages(&self) -> String {
        fs::read_to_string(self.messages()).unwrap_or_default()
    }

    /// The end of what it has said.
    pub fn last_messages(&self) -> String {
        last_lines(&self.messages())
    }
}

/// The end of a file of messages.
pub fn last_lines(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("its last messages:\n{}", self.last_messages());
        }
    }
}
