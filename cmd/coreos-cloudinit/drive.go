package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/configdrive"
	"github.com/strakeproject/strake/cloudconfig/datasource"
)

// writeDrive writes a source's data onto a config drive.
func (p *program) writeDrive(meta *datasource.Metadata) error {
	if p.failed {
		return fmt.Errorf("%s is not written", p.WriteConfigDrive)
	}
	if err := sound(p.out.UserData); err != nil {
		return fmt.Errorf("user-data: %w", err)
	}
	d := configdrive.Drive{UserData: p.data, Hostname: cmp.Or(p.Hostname, meta.Hostname), SSHKeys: meta.SSHKeys}
	if meta.Network.Format == datasource.FormatDebian {
		d.Network = meta.Network.Data
	}
	if err := writeFiles(p.WriteConfigDrive, d.Files()); err != nil {
		return err
	}
	p.log.Info("Wrote config drive " + p.WriteConfigDrive)
	return nil
}

// sound returns the first error in a report: with such user-data no machine comes
// up as it should.
func sound(report cloudconfig.Report) error {
	for _, entry := range report {
		if entry.Severity == cloudconfig.SeverityError {
			return fmt.Errorf("%s", entry)
		}
	}
	return nil
}

// writeFiles writes the files of a drive to an image, if it is called .iso, or
// else to a directory.
func writeFiles(to string, files configdrive.Files) error {
	if !strings.EqualFold(filepath.Ext(to), ".iso") {
		return files.WriteDir(to)
	}
	var image bytes.Buffer
	if err := files.WriteImage(&image); err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	return replaceFile(to, image.Bytes())
}

// replaceFile writes a file beside its place and renames it, so that nobody meets
// half of it.
func replaceFile(to string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(to), ".coreos-cloudinit-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err = cmp.Or(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	return os.Rename(f.Name(), to)
}
