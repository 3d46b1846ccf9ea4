//! A role of the program as a process of its own: started, killed, paused, and never left behind.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tests::{
    Caller, crashable, forget_settings, last_lines, libchdb, millrace, resume, stop, terminate,
};

const STARTS_WITHIN: Duration = Duration::from_secs(120);
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// One process and how it is started.
#[derive(Debug)]
pub(crate) struct Process {
    /// For example `process-2`.
    pub(crate) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    listen: String,
    ready_at: &'static str,
    messages: PathBuf,
    child: Option<Child>,
    /// Its place, for calls without a key.
    pub(crate) nobody: Caller,
}

/// A loopback port that is free now. Nobody else gets it soon: the system hands out others first.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Process {
    /// A role that keeps `data` and its messages below `folder`; not started yet.
    pub(crate) fn new(role: &str, name: &str, folder: &Path, settings: &[String]) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut arguments = vec![role.to_owned(), "--listen".to_owned(), listen.clone()];
        arguments.push("--data".to_owned());
        arguments.push(folder.join("data").display().to_string());
        let library = format!("embedded.library={}", libchdb().display());
        for setting in settings.iter().chain([&library]) {
            arguments.push("--set".to_owned());
            arguments.push(setting.clone());
        }
        Self {
            name: name.to_owned(),
            program: millrace(),
            arguments,
            environment: Vec::new(),
            ready_at: match role {
                "warehouse" => "/ping",
                _ => "/ready",
            },
            messages: folder.join(format!("{name}.log")),
            child: None,
            nobody: Caller::to(&listen),
            listen,
        }
    }

    /// `HOST:PORT`.
    pub(crate) fn listen(&self) -> &str {
        &self.listen
    }

    /// Another program from its next start on: the variant that does as tests ask.
    pub(crate) fn run_crashable(&mut self) {
        self.program = crashable();
    }

    /// A variable of its environment, from its next start on.
    pub(crate) fn with_environment(&mut self, variables: &[(&str, String)]) {
        self.environment = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
    }

    /// Starts it and does not wait.
    pub(crate) fn launch(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let messages = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.messages)
            .unwrap();
        // The system kills it when this process is gone, however it ends.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program);
        forget_settings(&mut command);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(messages.try_clone().unwrap())
            .stderr(messages);
        self.child = Some(command.spawn().unwrap());
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&mut self) {
        self.launch();
        self.wait_ready().await;
    }

    /// Waits until it is ready.
    pub(crate) async fn wait_ready(&mut self) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                panic!(
                    "{} ended while starting: {status}\n{}",
                    self.name,
                    self.last_messages()
                );
            }
            let request = self.nobody.at(reqwest::Method::GET, self.ready_at);
            let asked = self
                .nobody
                .try_send_within(request, Duration::from_secs(5))
                .await;
            if asked.is_ok_and(|answer| answer.status == 200) {
                return;
            }
            assert!(
                started.elapsed() < STARTS_WITHIN,
                "{} is not ready in time\n{}",
                self.name,
                self.last_messages()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child
            .as_ref()
            .unwrap_or_else(|| panic!("{} does not run", self.name))
            .id()
    }

    /// Whether it is meant to run.
    pub(crate) fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// How it has ended by itself, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        self.child = None;
        Some(status)
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        terminate(self.pid());
        let asked = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                asked.elapsed() < ENDS_WITHIN,
                "{} has not ended in time\n{}",
                self.name,
                self.last_messages()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops its clock (SIGSTOP).
    pub(crate) fn pause(&self) {
        stop(self.pid());
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn go_on(&self) {
        resume(self.pid());
    }

    /// Everything it has said so far, over all its starts.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.messages).unwrap_or_default()).into_owned()
    }

    /// The end of what it has said.
    pub(crate) fn last_messages(&self) -> String {
        last_lines(&self.messages)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
