package cloudconfig

import (
	"path"
	"strings"

	"github.com/strakeproject/strake/unit"
)

// install returns the links by which a unit is enabled, path to target, as its
// [Install] section asks for them: systemctl makes the same.
func (p *planner) install(e enabling) (map[string]string, error) {
	links := make(map[string]string)
	return links, p.installInto(links, e, 0)
}

func (p *planner) installInto(links map[string]string, e enabling, depth int) error {
	file, text, err := p.findUnit(e.unit)
	if err != nil {
		return err
	}
	parsed, err := unit.Parse([]byte(text))
	if err != nil {
		return err
	}
	dir := unitDir(e.unit, e.runtime)
	name := unit.Name(e.unit)
	words := func(key string) []string {
		var all []string
		for _, value := range parsed.Values("Install", key) {
			for word := range strings.FieldsSeq(value) {
				all = append(all, name.Expand(word))
			}
		}
		return all
	}
	if d := words("DefaultInstance"); name.IsTemplate() && len(d) > 0 {
		name = unit.Name(strings.TrimSuffix(e.unit, name.Suffix()) + d[len(d)-1] + name.Suffix())
	}
	if !name.IsTemplate() {
		for _, by := range []struct{ key, suffix string }{
			{"WantedBy", ".wants"}, {"RequiredBy", ".requires"}, {"UpheldBy", ".upholds"},
		} {
			for _, target := range words(by.key) {
				links[path.Join(dir, target+by.suffix, string(name))] = file
			}
		}
	}
	for _, alias := range words("Alias") {
		links[path.Join(dir, alias)] = file
	}
	const deepest = 10 // units that install each other
	for _, also := range words("Also") {
		if also != e.unit && depth < deepest {
			if err := p.installInto(links, enabling{also, e.runtime}, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
