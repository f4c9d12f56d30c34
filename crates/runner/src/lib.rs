//! Agents, sandboxes and checks: starts and supervises processes.
