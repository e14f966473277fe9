{{/* What the operator may do in a namespace that it looks after. No wildcards, no watch on Secrets, nothing that runs
     inside a pod. */}}
{{- define "consilia.rules" -}}
- apiGroups: [consilia.dev]
  resources: [federatedjobs, hospitals, datasets, hospitaltasks]
  verbs: [get, list, watch]
- apiGroups: [consilia.dev]
  resources: [federatedjobs/status, hospitals/status, datasets/status, hospitaltasks/status]
  verbs: [patch]
- apiGroups: [consilia.dev]
  resources: [hospitaltasks]
  verbs: [create, patch, delete]
# runPolicy.ttlSecondsAfterFinished.
- apiGroups: [consilia.dev]
  resources: [federatedjobs]
  verbs: [delete]
# Owner references that block deletion, where the cluster enforces who may set them.
- apiGroups: [consilia.dev]
  resources: [federatedjobs/finalizers, hospitaltasks/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods, podtemplates]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, services, persistentvolumeclaims]
  verbs: [get, list, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, create, patch, delete]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- $strimzi := .Values.rbac.strimzi }}
{{- if or (eq $strimzi "Enabled") (and (eq $strimzi "Auto") (.Capabilities.APIVersions.Has "kafka.strimzi.io/v1")) }}
- apiGroups: [kafka.strimzi.io]
  resources: [kafkas, kafkanodepools, kafkausers, kafkatopics]
  verbs: [get, list, create, patch, delete]
{{- end }}
{{- if eq .Values.operator.certificates.issuing "CertManager" }}
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, list, create, patch, delete]
{{- end }}
{{- end -}}

{{- define "consilia.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "consilia.serviceAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}
