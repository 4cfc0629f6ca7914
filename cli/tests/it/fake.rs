//! A server that answers as a test wants it: for what a real one does only by chance.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Answers plain HTTP/1.1 until the test ends.
pub(crate) struct Fake {
    pub(crate) url: String,
    /// The heads of the requests so far.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// `answer` gets method and path, and gives status and body.
    pub(crate) fn start(answer: impl FnMut(&str, &str) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (requests.clone(), Arc::new(Mutex::new(answer)));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (seen.clone(), answer.clone());
                thread::spawn(move || serve(&stream, &seen, |method, path| answer.lock().unwrap()(method, path)));
            }
        });
        Self { url, requests }
    }
}

/// One request a connection.
fn serve(stream: &TcpStream, seen: &Mutex<Vec<String>>, answer: impl FnOnce(&str, &str) -> (u16, String)) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or_default() == 0 {
            return;
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    reader.read_exact(&mut vec![0; length.unwrap_or_default()]).unwrap();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    seen.lock().unwrap().push(head);
    let (status, body) = answer(&method, &path);
    let length = body.len();
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    // The asker may have gone.
    let _ = (&*stream).write_all((head + &body).as_bytes());
}
