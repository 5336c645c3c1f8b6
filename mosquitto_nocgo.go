//go:build !cgo

package mosquitto

// A build without cgo ends here, with the sentence that the compiler prints.
var _ = set_CGO_ENABLED_1_and_install_gcc_and_libmosquitto_dev_this_package_binds_a_C_library
