//! A future that runs on a thread and a runtime of its own.

use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

/// Runs until it is dropped. On the test's own runtime, a fault would end when the test blocks
/// its thread, pauses its clock or drops its runtime.
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn run(future: impl Future<Output = ()> + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime of its own");
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = future => {}
                }
            });
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::Background;

    #[test]
    fn it_goes_on_while_this_thread_blocks_and_ends_when_dropped() {
        let (sender, receiver) = mpsc::channel();
        let background = Background::run(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let _ = sender.send(());
            }
        });
        for _ in 0..3 {
            receiver.recv().expect("still running");
        }
        drop(background);
        receiver.iter().for_each(drop);
        assert!(receiver.recv().is_err(), "its sender lives on");
    }
}
