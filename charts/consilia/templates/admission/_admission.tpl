{{/* Whether the cluster is to guard what the operator alone cannot: who raises a budget, writes the ledger's view, deletes the ledger. */}}
{{- define "consilia.guarded" -}}
{{- if and .Values.admission.enabled (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) -}}
true
{{- end -}}
{{- end -}}

{{/* Objects of the whole cluster whose names are DNS names. */}}
{{- define "consilia.policyName" -}}
{{- printf "%s.%s.%s" .policy (include "consilia.operator" .root) .root.Release.Namespace -}}
{{- end -}}

{{/* The namespaces that the operator looks after. */}}
{{- define "consilia.guardedNamespaces" -}}
{{- with include "consilia.namespaces" . | fromJsonArray }}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: In
      values:
        {{- toYaml . | nindent 8 }}
{{- end }}
{{- end -}}

{{/* The binding of a policy: (dict "root" . "policy" NAME) */}}
{{- define "consilia.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "consilia.clusterMetadata" (dict "root" .root "name" (include "consilia.policyName" .)) | nindent 2 }}
spec:
  policyName: {{ include "consilia.policyName" . | quote }}
  validationActions: [Deny]
{{- end -}}
