//! Threads and forks: what a library inside somebody else's process has to take care of.

use std::io;
use std::sync::Once;

unsafe extern "C" {
    // As pthread_atfork calls it: in every libc since 2.3, whereas pthread_atfork itself comes from a static part of newer ones.
    fn __register_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
        library: *const libc::c_void,
    ) -> libc::c_int;
}

/// Registers what happens in a forked child and at the program's end. Once.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: both handlers are functions of this library, which is never unloaded (-z nodelete).
        unsafe {
            __register_atfork(None, None, Some(in_child), std::ptr::null());
            libc::atexit(at_exit);
        }
    });
}

extern "C" fn in_child() {
    crate::session::abandon();
    crate::current::forget();
}

extern "C" fn at_exit() {
    if let Ok(session) = crate::session::session() {
        session.farewell();
    }
}

/// Starts a thread that no signal of the program is delivered to.
pub fn spawn_without_signals(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // SAFETY: the sets are initialised by sigfillset and pthread_sigmask before they are read.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let started = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(128 << 10)
            .spawn(body);
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        started.map(|_| ())
    }
}
