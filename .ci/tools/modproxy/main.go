// Modproxy writes modules to a directory that go can use with GOPROXY=file://. It creates
// the same files as a module proxy does for a tag. It fails if a directory is not a valid
// module.
//
//	modproxy PROXY VERSION FOLDER...
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("modproxy: ")
	if len(os.Args) < 4 {
		log.Fatal("usage: modproxy PROXY VERSION FOLDER...")
	}
	for _, folder := range os.Args[3:] {
		if err := release(os.Args[1], os.Args[2], folder); err != nil {
			log.Fatal(folder, ": ", err)
		}
	}
}

// release writes the module in folder to the proxy directory as this version.
func release(proxy, version, folder string) error {
	mod, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return err
	}
	v := module.Version{Path: modfile.ModulePath(mod), Version: version}
	path, err := module.EscapePath(v.Path)
	if err != nil {
		return err
	}
	dir := filepath.Join(proxy, path, "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	info := fmt.Sprintf("{\"Version\":%q,\"Time\":%q}\n", version, time.Now().UTC().Format(time.RFC3339))
	for name, content := range map[string]string{"list": version + "\n", version + ".info": info, version + ".mod": string(mod)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return writeZip(filepath.Join(dir, version+".zip"), v, folder)
}

func writeZip(name string, v module.Version, folder string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	return zip.CreateFromDir(f, v, folder)
}
