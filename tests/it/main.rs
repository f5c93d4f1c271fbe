//! Behaviours of the program, seen from outside.
