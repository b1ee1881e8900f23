"""The routes, one resource a file. Plain functions run in the thread pool; only streams are asynchronous."""
