//! nginx as a target.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{KilledOnDrop, empty_folder, eventually, find_tool, free_port};

/// A running nginx, which is killed when the value is dropped.
pub struct Nginx {
    child: KilledOnDrop,
}

impl Nginx {
    /// Starts nginx with the contents of its `http` block, which listens on `ports`.
    #[track_caller]
    pub fn start(name: &str, ports: &[u16], http: &str) -> Self {
        let home = empty_folder(&format!("nginx-{name}"));
        let configuration = format!(
            "daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;
             events {{}}
             http {{
               access_log off; default_type application/json;
               client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
               uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
               {http}
             }}",
            home = home.display()
        );
        let file = home.join("nginx.conf");
        std::fs::write(&file, configuration).expect("the folder is writable");
        let mut command = match find_tool("nginx/usr/sbin/nginx") {
            Some(fetched) => {
                let mut command = Command::new(&fetched);
                let root = fetched.ancestors().nth(3).expect("the tool lies below its root");
                command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
                command
            }
            None => Command::new("nginx"),
        };
        command.arg("-p").arg(&home).arg("-c").arg(&file).arg("-e").arg(home.join("error.log"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start nginx ({error}): run the tests with tests/run"));
        let mut nginx = Self { child: KilledOnDrop(child) };
        for port in ports {
            eventually("nginx to listen", || {
                nginx.assert_running(&home);
                TcpStream::connect(("127.0.0.1", *port)).ok()
            });
        }
        nginx
    }

    /// Starts nginx without TLS, with these locations. Returns it with its port.
    #[track_caller]
    pub fn start_plain(name: &str, locations: &str) -> (Self, u16) {
        let port = free_port();
        let server = format!("server {{ listen 127.0.0.1:{port}; {locations} }}");
        (Self::start(name, &[port], &server), port)
    }

    #[track_caller]
    fn assert_running(&mut self, home: &Path) {
        if let Ok(Some(status)) = self.child.0.try_wait() {
            let log = std::fs::read_to_string(home.join("error.log")).unwrap_or_default();
            panic!("nginx ended with {status}:\n{log}");
        }
    }
}
