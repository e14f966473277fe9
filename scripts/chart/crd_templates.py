"""charts/consilia/templates/crds/: the CustomResourceDefinitions as templates, so that an upgrade brings new ones."""

from consilia.api.crd import Definition, custom_resource_definition
from consilia.manifest.yaml_document import write_document

_TEMPLATE = """\
{{{{- /* Generated from consilia/api by `make generate`. */ -}}}}
{{{{- if .Values.crds.install }}}}
{head}
  labels:
    app.kubernetes.io/name: consilia
    app.kubernetes.io/part-of: consilia
  {{{{- if .Values.crds.keep }}}}
  annotations:
    helm.sh/resource-policy: keep
  {{{{- end }}}}
{body}{{{{- end }}}}
"""
_OPENING = '{{ "{{" }}'
"""Two braces that reach the cluster as such: a rule's text may hold them."""


def crd_template(definition: Definition) -> str:
    """One file."""
    text = write_document(custom_resource_definition(definition)).replace("{{", _OPENING)
    head, separator, rest = text.partition("\nspec:\n")
    return _TEMPLATE.format(head=head, body=f"{separator.lstrip()}{rest}")
