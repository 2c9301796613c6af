"""What other servers are told, each in an environment of its own; these files import theirs."""
