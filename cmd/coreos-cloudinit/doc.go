// Command coreos-cloudinit brings a machine up to date with its cloud-config at
// boot, as coreos-cloudinit of the original does: it finds the user-data and
// meta-data of the platform, and applies them.
//
//	coreos-cloudinit -validate -from-file=cfg.yaml
//	coreos-cloudinit -dry-run -from-file=cfg.yaml
//	coreos-cloudinit -from-configdrive=/media/configdrive
//
// Flags may begin with one dash or two. The exit status is 0 if everything was
// done, 1 if something was not, or under -validate if there is anything to
// remark, and 2 if the command line is wrong. The log goes to standard error.
//
// With -root it brings up an image instead of the machine that runs: nothing
// is started there, and what the next boot needs is laid down in files.
//
// It makes what machines boot with, too. To write the user-data of a file onto a
// config drive:
//
//	coreos-cloudinit -write-config-drive core1.iso -hostname core1 -from-file=cfg.yaml
//
// To make the drives of a whole cluster from one template:
//
//	coreos-cloudinit -render-cluster 3 -from-file=cluster.yaml -out drives \
//	    -name-prefix core -address-first 192.168.15.101 \
//	    -discovery https://discovery.example -ssh-key ~/.ssh/id_rsa.pub
//
// In the template <HOSTNAME> and <IP> stand for the name and address of each
// machine, <TOKEN> for the token that the discovery service gives the cluster
// and <DISCOVERY> for its whole URL. A line with <SSH_KEY> is repeated for each
// key of the file. What comes out is validated before anything is written:
// NAME.yaml and NAME.iso for each machine.
package main
