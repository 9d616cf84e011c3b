//! A Redis server without a socket: it is given bytes and a time, and answers bytes.
