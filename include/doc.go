// Package include holds the C headers of package mosquitto. It has no Go code:
// the root imports it so that "go mod vendor" keeps the folder.
package include
