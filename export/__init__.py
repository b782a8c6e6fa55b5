"""Turn trained modules into files for devices, and prove what the files hold."""
