"""Speed and memory, each as a ratio to a peer in the same run where there is one."""
