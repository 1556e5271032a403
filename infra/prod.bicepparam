// One for production: private, redundant, with alerts, a signing key in hardware and two regions of models.
using './main.bicep'

param name = 'assay'
param resourceGroupName = 'rg-assay-prod'
param tags = { environment: 'prod' }

// Set by scripts/deploy or the workflow: the image by digest, and the group that may drop files.
param image = readEnvironmentVariable('ASSAY_IMAGE', '')
param operatorsId = readEnvironmentVariable('ASSAY_OPERATORS_ID', '')
param operatorsType = 'Group'

param minReplicas = 2
param maxReplicas = 4
param cpu = '1'
param zoneRedundant = true

param openAiAccounts = [
  {
    name: 'main'
    deployments: [
      { name: 'gpt-5.4', version: '2026-03-05', capacity: 450 }
      { name: 'gpt-5.4-mini', version: '2026-03-17', capacity: 2000 }
    ]
  }
  {
    name: 'west'
    location: 'swedencentral'
    deployments: [
      { name: 'gpt-5.4-mini', version: '2026-03-17', capacity: 2000 }
    ]
  }
]
param contentSafety = true

param storageSku = 'Standard_GZRS'
param softDeleteDays = 14
param keyVaultSku = 'premium'
param privateNetwork = true

param telemetryDays = 90
param telemetryDailyGb = 20
param alertEmails = ['assay-alerts@example.com']
